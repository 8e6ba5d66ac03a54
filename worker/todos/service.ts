// The port to a todo service: read its open todos, make one change once.
import type { TodoChange } from "../job/handler.ts";
import type { Answer } from "../outbound/answer.ts";
import type { Send } from "../outbound/outbound.ts";
import type { TodoAdapter } from "../outbound/todo-services.ts";

/** `Outbound.send`, bounded in time by the caller. */
export type Exchange = (request: Send) => Promise<Answer>;

export interface TodoService {
  /** The open todos, at most 500. Throws what `Outbound.getJson` throws. */
  list(exchange: Exchange): Promise<unknown[]>;
  /**
   * Makes the change unless an earlier call with the same `key` has made it. Throws `fetch_failed` when the service may take it later,
   * and `fetch_rejected` or `address_refused` when it will not. `detail.isOfItem` as deliveries have it.
   */
  apply(change: TodoChange, key: string, exchange: Exchange): Promise<void>;
}

/** A list of one service. */
export type Place = { adapter: TodoAdapter; address: string; list: string | undefined };

/** A longer list is of no use to a model. */
export const MAX_TODOS = 500;
