// What is left of an answer when the marks of the prompt are taken out of it. How marks in a prompt lose their effect is shown in
// test/model/prompt.test.ts.
import { describe, expect, test } from "vitest";
import { withoutMarks } from "../../worker/job/template-marks.ts";
import { EXACT_MARKS, MARKS } from "../fixtures/template-marks.ts";

describe("an answer of nothing but marks is no answer", () => {
  test.for([...Object.values(MARKS), ...Object.values(EXACT_MARKS)].flat())("%s", (mark) => {
    expect([withoutMarks(mark), withoutMarks(` "${mark}" \n${mark}.`)]).toEqual(["", ""]);
  });

  test.for([
    "<input>",
    "</input>",
    "<Input>\n</INPUT>",
    "< input >",
    "<\\input>",
    "<\\/input>",
    "`<input>`",
    "<input></input><|im_end|>",
    "<|im_start|>assistant\n",
    "<start_of_turn>model\n<end_of_turn>",
  ])("%j", (answer) => {
    expect(withoutMarks(answer)).toBe("");
  });
});

test.for([
  ["<input>\nBuy milk\n</input>", "Buy milk"],
  ["Buy milk</input>", "Buy milk"],
  ["</input>\n\n牛乳を買う", "牛乳を買う"],
  ["Buy milk<|im_end|>", "Buy milk"],
  ["<input><input>🥛", "🥛"],
  // What may be meant stays.
  ["Buy milk", "Buy milk"],
  ["In HTML, <input> takes text.", "In HTML, <input> takes text."],
  ["<s>1 EUR</s> 2 EUR", "<s>1 EUR</s> 2 EUR"],
  ['<input type="text">', '<input type="text">'],
  ["### Input: two numbers", "### Input: two numbers"],
  ["a < input > b", "a < input > b"],
])("%j is read as %j", ([answer, read]) => {
  expect(withoutMarks(answer!)).toBe(read);
});

test("a long answer of marks takes time in proportion to its length", () => {
  for (const piece of ["<input>", "<", "< ", "<|", "</input>a", "<input", "[|", "###"])
    expect(withoutMarks(piece.repeat(200_000)).length).toBeLessThanOrEqual(piece.length * 200_000);
});
