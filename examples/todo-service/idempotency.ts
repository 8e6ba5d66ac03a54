// Idempotency-Key: the same key gets the same answer and changes nothing again, as in the IETF's draft
// "The Idempotency-Key HTTP Header Field". Errors are not stored: a failed request may be retried with the same key.
import { createHash } from "node:crypto";
import type { Answer, TodoStore } from "./store.ts";

const MAX_KEY = 255;

export type Once = (Answer & { replayed: boolean }) | { refused: string; status: 400 | 422 };

/** Runs `act` unless there is a stored answer for `key`. A request with the same key must be equal to `request`. */
export function once(store: TodoStore, key: string | undefined, request: unknown, act: () => Answer): Once {
  if (key === undefined) return { ...store.together(act), replayed: false };
  if (key.length === 0 || key.length > MAX_KEY)
    return { refused: `Idempotency-Key: give 1 to ${MAX_KEY} characters, not ${key.length}.`, status: 400 };
  const fingerprint = createHash("sha256").update(JSON.stringify(request)).digest("hex");
  return store.together((): Once => {
    const before = store.answered(key);
    if (before && before.request !== fingerprint)
      return { refused: "Idempotency-Key: it was used for a different request.", status: 422 };
    if (before) return { status: before.status, body: before.body, replayed: true };
    const answer = act();
    if (answer.status < 300) store.remember(key, fingerprint, answer);
    return { ...answer, replayed: false };
  });
}
