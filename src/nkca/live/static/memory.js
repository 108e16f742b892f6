// Values that survive a reload of the page, in the browser's storage, which may be forbidden.

/** @param {() => Storage} storage */
const memory = (storage) => ({
  /** @param {string} key */
  recall(key) {
    try {
      return storage().getItem(key);
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
      storage().setItem(key, value);
    } catch {
      return;
    }
  },
});

export const browserMemory = memory(() => localStorage);
export const tabMemory = memory(() => sessionStorage);
