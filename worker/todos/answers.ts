// What a todo service answered: the error that a status stands for, with the start of what it said, and the JSON.
import { KamadoError } from "../errors.ts";
import { decodeText } from "../http/text-encoding.ts";
import { parseJson } from "../job/json.ts";
import { excessOf } from "../job/structure.ts";
import { type Answer, throwForStatus } from "../outbound/answer.ts";

const TOKEN =
  "The service refuses the token: correct it in the destinations file, then run `kamado dead redrive` for what was refused.";
const RIGHTS =
  "The service does not allow this with the token of the destinations file, or not in this list: correct it, then run `kamado dead redrive`.";
const GONE = "The todo or the list is no longer there; send the job again with the todos as they are now.";

const HINTS: Record<number, string> = { 401: TOKEN, 403: RIGHTS, 404: GONE, 410: GONE };

/** Throws unless the status is 2xx: `fetch_failed` when it may pass by itself, else `fetch_rejected`. */
export function check(answer: Answer, isOfItem: boolean): Answer {
  try {
    throwForStatus(answer, Date.now());
    return answer;
  } catch (thrown) {
    throw explained(thrown as KamadoError, answer, isOfItem);
  }
}

function explained(error: KamadoError, { status, bytes }: Answer, isOfItem: boolean): KamadoError {
  const said = new TextDecoder().decode(bytes.subarray(0, 2_048)).trim();
  const hint = HINTS[status];
  return new KamadoError(error.code, error.message, {
    cause: error.cause,
    detail: {
      ...error.detail,
      ...(said !== "" && { receiverSaid: said.slice(0, 300) }),
      ...(isOfItem && { isOfItem: true as const }),
    },
    ...(hint !== undefined && { hint }),
  });
}

export const hostOf = ({ url }: Pick<Answer, "url">): string => new URL(url).hostname;

/** Throws `fetch_rejected` for what is not JSON. */
export function jsonOf(answer: Answer): unknown {
  const text = decodeText(answer.bytes, answer.headers["content-type"] ?? null);
  const excess = text === null ? "is in a character set that is not known" : excessOf(text);
  if (text === null || excess !== null) throw unusable(answer, `${excess}`);
  try {
    return parseJson(text);
  } catch {
    throw unusable(answer, "is not JSON");
  }
}

/** Throws `fetch_rejected` for a page, as a login or a proxy answers with 200. No todo service does. */
export function refusePage(answer: Answer): void {
  if (/\bhtml\b/i.test(answer.headers["content-type"] ?? "")) throw unusable(answer, "is a page for people");
}

const unusable = (answer: Answer, why: string) =>
  new KamadoError("fetch_rejected", `The answer of ${hostOf(answer)} ${why}.`, {
    hint: "Check the address: something else than the todo service may answer there.",
    detail: { host: hostOf(answer), httpStatus: answer.status },
  });
