// An engine may say the token it was sent, in an error's words or in an answer, and what it says is stored and told on. Pure.

const SHOWN = "[secret]";
/** Fewer letters stand in too many words to be taken out of them. */
const MIN_FORM = 4;
/** What is shorter may be a word like any other ("EMPTY", "lm-studio"), which an answer must be able to say. */
const MIN_IN_ANSWERS = 16;

/** Takes the token out of a text in every form it travels in; `answers` leaves alone what is hardly a secret. */
export type HideToken = { inErrors(text: string): string; inAnswers(text: string): string };

export function hidingToken(token = ""): HideToken {
  const forms = formsOf(token).filter((form) => form.length >= MIN_FORM);
  const pattern = new RegExp(forms.map(escaped).join("|") || "(?!)", "gi");
  const inErrors = (text: string) => text.replaceAll(pattern, SHOWN);
  return { inErrors, inAnswers: token.length < MIN_IN_ANSWERS ? (text) => text : inErrors };
}

function formsOf(token: string): string[] {
  const bytes = Buffer.from(token);
  const base64 = [0, 1, 2].flatMap((before) => {
    const text = insideBase64(bytes, before);
    return [text, text.replaceAll("+", "-").replaceAll("/", "_")];
  });
  const plain = [token, JSON.stringify(token).slice(1, -1), encodeURIComponent(token), bytes.toString("hex")];
  return [...plain, ...base64].toSorted((one, other) => other.length - one.length);
}

/** What of the base64 of a longer text only the token decides, so many bytes standing before it. */
function insideBase64(bytes: Buffer, before: number): string {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
  const whole = Math.floor(((before + bytes.length) * 4) / 3);
  return text.slice(Math.ceil((before * 4) / 3), whole);
}

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
