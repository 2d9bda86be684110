// What the files page uses of Uppy, under one name: static/files.js takes it from there.
export { default as Uppy } from "@uppy/core";
export { default as Dashboard } from "@uppy/dashboard";
export { default as GoldenRetriever } from "@uppy/golden-retriever";
export { default as Tus } from "@uppy/tus";
