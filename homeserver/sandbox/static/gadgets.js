// The part of the OpenSocial 0.8 gadgets API that a gadget with a home server of its own needs: gadgets.io, .util,
// .window, .views, .json and .Prefs. Loaded before the gadget's own HTML. Source: the gadgets API reference, 0.8.
var gadgets = (() => {
  "use strict";

  const settings = JSON.parse(document.getElementById("gadget-settings").textContent);
  const tellContainer = (gadget, value) => parent.postMessage({ gadget, value }, location.origin);

  // --- gadgets.util --------------------------------------------------------------------------------------------------

  const onLoad = [];
  let loaded = false;

  const util = {
    registerOnLoadHandler(callback) {
      if (loaded) callback();
      else onLoad.push(callback);
    },
    // Called by the frame's own last script.
    runOnLoadHandlers() {
      loaded = true;
      while (onLoad.length) {
        try {
          onLoad.shift()();
        } catch (error) {
          console.error(error); // one handler's fault is not the others'
        }
      }
    },
    escapeString(text) {
      return String(text).replace(/[<>"'&\\\n\r\0]/g, (found) => `&#${found.charCodeAt(0)};`);
    },
    unescapeString(text) {
      return String(text).replace(/&#([0-9]{1,7});/g, (found, code) =>
        Number(code) <= 0x10ffff ? String.fromCodePoint(Number(code)) : found);
    },
    getUrlParameters() {
      return Object.fromEntries(new URLSearchParams(location.search));
    },
    getFeatureParameters: () => ({}),
    hasFeature: (name) => ["core", "core.io", "opensocial-0.8", "dynamic-height", "views", "settitle"].includes(name),
  };

  // --- gadgets.io ----------------------------------------------------------------------------------------------------

  const RequestParameters = Object.freeze({
    METHOD: "METHOD", CONTENT_TYPE: "CONTENT_TYPE", POST_DATA: "POST_DATA", HEADERS: "HEADERS",
    AUTHORIZATION: "AUTHORIZATION", NUM_ENTRIES: "NUM_ENTRIES", GET_SUMMARIES: "GET_SUMMARIES",
    REFRESH_INTERVAL: "REFRESH_INTERVAL", SIGN_OWNER: "SIGN_OWNER", SIGN_VIEWER: "SIGN_VIEWER",
    OAUTH_SERVICE_NAME: "OAUTH_SERVICE_NAME",
  });
  const MethodType = Object.freeze({ GET: "GET", POST: "POST", PUT: "PUT", DELETE: "DELETE", HEAD: "HEAD" });
  const ContentType = Object.freeze({ TEXT: "TEXT", JSON: "JSON", DOM: "DOM", FEED: "FEED" });
  const AuthorizationType = Object.freeze({ NONE: "NONE", SIGNED: "SIGNED", OAUTH: "OAUTH" });

  // The prefix keeps other pages from reading the answer as a script; what follows it is JSON.
  const readAnswer = (text) => JSON.parse(text.slice(text.indexOf("{")));

  const parseBody = (answer, contentType) => {
    if (contentType === ContentType.JSON) return JSON.parse(answer.text);
    if (contentType === ContentType.DOM) {
      const tree = new DOMParser().parseFromString(answer.text, "text/xml");
      if (tree.querySelector("parsererror")) throw new Error("not XML");
      return tree;
    }
    return answer.text;
  };

  const io = {
    RequestParameters, MethodType, ContentType, AuthorizationType,

    encodeValues(fields) {
      return Object.entries(fields)
        .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}&`).join("");
    },

    // Calls back with {text, data, rc, headers, errors}; errors is empty when all went well.
    makeRequest(url, callback, parameters = {}) {
      const contentType = parameters.CONTENT_TYPE ?? ContentType.TEXT;
      const form = new URLSearchParams({
        url,
        st: settings.token,
        httpMethod: parameters.METHOD ?? MethodType.GET,
        authz: (parameters.AUTHORIZATION ?? AuthorizationType.NONE).toLowerCase(),
        postData: parameters.POST_DATA ?? "",
        headers: new URLSearchParams(parameters.HEADERS ?? {}).toString(),
        contentType,
        signOwner: String(parameters.SIGN_OWNER ?? true),
        signViewer: String(parameters.SIGN_VIEWER ?? true),
        OAUTH_SERVICE_NAME: parameters.OAUTH_SERVICE_NAME ?? "",
      });
      const ask = async () => {
        const answer = { text: "", data: null, rc: 0, headers: {}, errors: [] };
        try {
          const response = await fetch("/gadgets/makeRequest", { method: "POST", body: form });
          answer.rc = response.status;
          if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
          const said = readAnswer(await response.text())[url];
          Object.assign(answer, { text: said.body, rc: said.rc, headers: said.headers });
          answer.errors.push(...(said.errors ?? []));
          if (answer.rc < 200 || answer.rc >= 400) answer.errors.push(`${answer.rc} Error`);
          answer.data = answer.text === "" ? null : parseBody(answer, contentType);
        } catch (error) {
          answer.errors.push(String(error.message));
        }
        return answer;
      };
      ask().then(callback);
    },
  };

  // --- gadgets.window, .views, .json, .Prefs -----------------------------------------------------------------------------

  // The root's box holds the margins that a child pushes out of the body; a horizontal scroll bar takes room of its own.
  const contentHeight = () => {
    const root = document.documentElement;
    return Math.max(root.offsetHeight, document.body.scrollHeight) + innerHeight - root.clientHeight;
  };

  const window_ = {
    adjustHeight(height) {
      tellContainer("height", Number.isFinite(height) ? height : contentHeight());
    },
    setTitle(title) {
      tellContainer("title", String(title));
    },
    getViewportDimensions: () => ({ width: innerWidth, height: innerHeight }),
  };

  class View {
    constructor(name) {
      this.name = name;
    }
    getName() {
      return this.name;
    }
    isOnlyVisibleGadget() {
      return this.name === "canvas";
    }
  }
  const supported = Object.fromEntries(settings.views.map((name) => [name, new View(name)]));
  const views = {
    ViewType: Object.freeze({ CANVAS: "canvas", HOME: "home", PROFILE: "profile", PREVIEW: "preview" }),
    View,
    getCurrentView: () => supported[settings.view] ?? new View(settings.view),
    getSupportedViews: () => supported,
    getParams: () => ({}),
    requestNavigateTo(view) {
      tellContainer("view", typeof view === "string" ? view : view.getName());
    },
  };

  const json = { parse: JSON.parse, stringify: JSON.stringify };

  // Preferences come from the specification's defaults; what is set lasts as long as the frame.
  class Prefs {
    getString(name) {
      return settings.preferences[name] ?? "";
    }
    getInt(name) {
      return parseInt(this.getString(name), 10) || 0;
    }
    getFloat(name) {
      return parseFloat(this.getString(name)) || 0;
    }
    getBool(name) {
      return ["true", "1"].includes(this.getString(name).toLowerCase());
    }
    getArray(name) {
      return this.getString(name).split("|").filter((part) => part !== "");
    }
    set(...pairs) {
      for (let at = 0; at + 1 < pairs.length; at += 2) settings.preferences[pairs[at]] = String(pairs[at + 1]);
    }
    getMsg(name) {
      return settings.messages[name] ?? "";
    }
    getLang() {
      return settings.language;
    }
    getCountry() {
      return settings.country;
    }
    getModuleId() {
      return 0;
    }
  }

  return { io, util, window: window_, views, json, Prefs, log: (...what) => console.log(...what) };
})();
