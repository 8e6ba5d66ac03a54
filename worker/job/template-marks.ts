// The marks by which chat templates separate messages, thoughts, tool calls and pictures, known by their form. A text from outside
// that contains one could end a turn or begin another. What is done about it is left to model/prompt.ts and engine/generation/. Pure.

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

/** Whether a text, such as a token of a vocabulary, contains a mark. */
export function holdsMark(text: string): boolean {
  return PATTERNS.some((marks) => text.search(marks) !== -1);
}
