"use strict";
(() => {
  const ii = window.imagination;
  ii.views.rank = () => ({ node: ii.h("div", {}, ii.heading("Ranking"), ii.empty("yet to come")), ready: Promise.resolve(), close: () => {} });
})();
