// What our HTTP servers have in common: how long a client may take to send a request, and that a server changes nothing outside of itself.
// How large a request may be is left to each server.

export const SERVE_OPTIONS = {
  /** Of Node's HTTP server. Who takes longer gets a 408, and the connection is closed. */
  serverOptions: {
    headersTimeout: 10_000,
    /** With its body. */
    requestTimeout: 30_000,
    connectionsCheckingInterval: 5_000,
  },
  /**
   * Otherwise Hono's adapter replaces the Response of the whole process, and its mark of a response that was sent already works only if
   * it was loaded before the first server started.
   */
  overrideGlobalObjects: false,
} as const;
