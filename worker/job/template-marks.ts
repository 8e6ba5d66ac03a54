// The marks by which chat templates separate messages, thoughts, tool calls and pictures, known by their form. A text from outside
// that contains one could end a turn or begin another, and a weak model answers with one. What is done about the marks in a prompt is left
// to model/prompt.ts and engine/generation/. Pure.

// Names without a form of their own. `ref`, `box`, `point` and the like mark places in pictures.
const ANGLE_NAMES = String.raw`s|[be]os|[se]op|eo[adhst]|pad|unk|mask(?::\d+)?|cls|sep|(?:\w{1,20}:)?think(?:ing)?(?::\w{1,20})?|thought|seed:\w{1,30}|tools|toolcall|role|ai|用户|escape|image\d*|img|video|audio|unused\d+|loc\d+|seg\d+|ref|box|quad|slice|unit|point|global-img|2mass|reponame|filename`;
// HTML has `<pre>`, so these are marks only in capitals.
const ANGLE_CAPITALS = "PRE|SUF|MID";
// Only in capitals: forums write [img], and usage lines [args].
const SQUARE_CAPITALS =
  "INST|ARGS|THINK|IMG|AUDIO|BOS|EOS|CLS|SEP|PAD|UNK|MASK|USER|BOT|PREFIX|MIDDLE|SUFFIX|NLU|NLG|S2S";

// A pattern finds the first character of a mark; the rest is looked at ahead, so that marks that overlap are all found. What is
// read ahead is bounded, and never passes the first character of another mark of the same form.
const ANY_CASE = [
  // <|im_start|>, <｜User｜>, <|channel>, <channel|>
  String.raw`<(?=[|｜][^|｜\s<>]{1,80}[|｜]?>)`,
  String.raw`<(?=[^|｜\s<>/\\]{1,80}[|｜]>)`,
  // <start_of_turn>, <SPECIAL_11>, <minimax:tool_call>
  String.raw`<(?=\/?[\p{L}\p{N}:.-]{0,40}_[\p{L}\p{N}_:.-]{0,60}>)`,
  String.raw`<(?=\/?(?:${ANGLE_NAMES})>)`,
  String.raw`<(?=<\/?SYS>>)`,
  // <]minimax[>
  String.raw`<(?=\][^\s<>]{1,40}\[>)`,
  // [|user|]
  String.raw`\[(?=\|[^|\s[\]]{1,80}\|\])`,
  String.raw`\[(?=(?:unused(?:_token_)?\d+|control_\d+|[gs]mask|multimodal|@BOS@)\])`,
  // ]~b]user, ]~!b[, [e~[
  String.raw`\](?=~!?b[[\]])|\[(?=e~\[)`,
  // ◁think▷
  String.raw`◁(?=\/?[^\s◁▷\\]{1,40}▷)`,
  // ### Instruction:
  String.raw`#(?=##\s?(?:Instructions?|Input|Response|System|User|Human|Assistant)\s?:)`,
];
const EXACT_CASE = [
  `<(?=(?:${ANGLE_CAPITALS})>)`,
  // [SYSTEM_PROMPT], [/INST]
  String.raw`\[(?=\/?(?:${SQUARE_CAPITALS}|[A-Z]{1,30}(?:_[A-Z0-9]{1,30}){1,5})\])`,
  // >>QUESTION<<
  ">(?=>[A-Z]{2,20}<<)",
  String.raw`\|(?=(?:ENDOFTEXT|SPEAKER|NEWLINE)\|)`,
];

const PATTERNS = [new RegExp(ANY_CASE.join("|"), "giu"), new RegExp(EXACT_CASE.join("|"), "gu")];

/** Where marks begin, in order. Takes time in proportion to the text's length. */
export function marksIn(text: string): number[] {
  const places = PATTERNS.flatMap((marks) => [...text.matchAll(marks)].map(({ index }) => index));
  return [...new Set(places)].toSorted((a, b) => a - b);
}

// A whole mark, as it stands between the quotes of a template's source.
const LITERAL =
  /<<\/?SYS>>|<\][^\s<>]{1,40}\[>|###\s?\w{1,20}:|[<[\]◁][^\s'"{}<>[\]◁▷]{1,80}[>[\]▷]|>>\w{1,20}<<|\|[A-Z]{4,20}\|/gu;

/** The marks that a template's source spells out. */
export const literalMarks = (template: string): string[] => (template.match(LITERAL) ?? []).filter(holdsMark);

/** The mark around text from outside, as models repeat it, also with the backslash that takes its effect away. */
const OWN = String.raw`<\\?\s{0,3}[/\\]{0,2}\s{0,3}input\s{0,3}>`;
// MiniMax's mark has the role behind it.
const WITH_ROLE = String.raw`\]~!?b[[\]](?:system|user|ai)?`;
const WHOLE = new RegExp(`${OWN}|${WITH_ROLE}|${LITERAL.source}`, "giu");
const ONLY_OWN = new RegExp(`^${OWN}$`, "iu");
const isMark = (found: string) => ONLY_OWN.test(found) || holdsMark(found);
/** HTML has marks of the other forms too, so in an answer they may be meant. */
const isNeverMeant = (mark: string) => ONLY_OWN.test(mark) || /[|｜]/.test(mark);

/**
 * An answer without the marks of the prompt, which weak models repeat. It is empty when it says nothing but marks, and perhaps the role
 * that stands behind one. Otherwise only the marks at its beginning and end are removed.
 */
export function withoutMarks(answer: string): string {
  const marks = [...answer.matchAll(WHOLE)].filter(([found]) => isMark(found));
  if (marks.length === 0) return answer;
  const rest = answer.replaceAll(WHOLE, (found) => (isMark(found) ? " " : found));
  if (!/[\p{L}\p{N}\p{So}]/u.test(rest.replace(/^\s*(?:system|user|assistant|model)\b/i, ""))) return "";
  let [from, to] = [0, answer.length];
  for (const { 0: mark, index } of marks) {
    if (!isNeverMeant(mark) || !isBlank(answer, from, index)) break;
    from = index + mark.length;
  }
  for (const { 0: mark, index } of marks.toReversed()) {
    if (!isNeverMeant(mark) || index < from || !isBlank(answer, index + mark.length, to)) break;
    to = index;
  }
  return answer.slice(from, to).trim();
}

const isBlank = (text: string, from: number, to: number) => text.slice(from, to).trim() === "";

/** Whether a text, such as a token of a vocabulary, contains a mark. */
export function holdsMark(text: string): boolean {
  return PATTERNS.some((marks) => text.search(marks) !== -1);
}
