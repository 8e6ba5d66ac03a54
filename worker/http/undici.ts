// The parts of undici that a worker uses. Its main file loads fetch, WebSockets, caches and mocks as well, which would be
// 5 MB of a process that is to stay small. undici is pinned, so that its inner paths hold.

import { createRequire } from "node:module";
import type * as undici from "undici";

const require = createRequire(import.meta.url);
// What undici's main file does too: it gives every dispatcher its `request`.
Object.assign(require("undici/lib/dispatcher/dispatcher.js").prototype, require("undici/lib/api/index.js"));

export type Agent = undici.Agent;
export const Agent: typeof undici.Agent = require("undici/lib/dispatcher/agent.js");
export const buildConnector: typeof undici.buildConnector = require("undici/lib/core/connect.js");
