// The parts of undici that a worker uses. undici's main file also loads fetch, WebSockets, caches and mocks, about 5 MB in a process
// that should stay small. Its version is pinned, so these inner paths do not change.

import { createRequire } from "node:module";
import type * as undici from "undici";

const require = createRequire(import.meta.url);
// As in undici's main file: gives every dispatcher its `request`.
Object.assign(require("undici/lib/dispatcher/dispatcher.js").prototype, require("undici/lib/api/index.js"));

export type Agent = undici.Agent;
export const Agent: typeof undici.Agent = require("undici/lib/dispatcher/agent.js");
export const buildConnector: typeof undici.buildConnector = require("undici/lib/core/connect.js");
