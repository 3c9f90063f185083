// What the pages' scripts share; it comes first in each.
"use strict";

const byId = (id) => document.getElementById(id);

/** A new element at the end of `parent`, if one is given; its text stays text. */
function make(tag, parent, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  parent?.append(element);
  return element;
}

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}
