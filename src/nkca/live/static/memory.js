// What the page remembers when it is loaded again. A browser may forbid that.

/** @param {() => Storage} store */
const memory = (store) => ({
  /** @param {string} key */
  recall(key) {
    try {
      return store().getItem(key);
    } catch {
      return null;
    }
  },

  /**
   * @param {string} key
   * @param {string} value
   */
  remember(key, value) {
    try {
      store().setItem(key, value);
    } catch {
      return;
    }
  },
});

export const ofBrowser = memory(() => localStorage);
export const ofTab = memory(() => sessionStorage);
