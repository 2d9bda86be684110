// The page around the gadget: it gives the frame the height and the view that the gadget asks for.
(() => {
  "use strict";
  const frame = document.getElementById("gadget");
  if (!frame) return;
  const MAX_HEIGHT_PX = 20000;

  addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== location.origin) return;
    const { gadget, value } = event.data ?? {};
    if (gadget === "height" && Number.isFinite(value)) {
      frame.height = String(Math.min(Math.max(Math.ceil(value), 40), MAX_HEIGHT_PX));
    } else if (gadget === "title" && typeof value === "string") {
      frame.title = value.slice(0, 200);
    } else if (gadget === "view" && ["canvas", "profile", "home"].includes(value)) {
      const address = new URL(location.href);
      address.searchParams.set("view", value);
      location.assign(address);
    }
  });
})();
