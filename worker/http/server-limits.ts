// How long a client may take to send a request to a server of ours. How large the request may be is left to each server.

/** Options of Node's HTTP server. Who takes longer gets a 408, and the connection is closed. */
export const SERVER_LIMITS = {
  headersTimeout: 10_000,
  /** With its body. */
  requestTimeout: 30_000,
  connectionsCheckingInterval: 5_000,
} as const;
