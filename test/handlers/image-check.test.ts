// image.check: a yes/no question about a picture.
import { expect, test } from "vitest";
import imageCheck, { checkContent } from "../../handlers/image-check.ts";
import { runHandler as run } from "../../testing/testing.ts";

const image = { dataUri: "data:image/png;base64,AA==", width: 8, height: 8, sha256: "00" };
const input = { image: "s3://home/in/door.jpg", question: "Is the door\n locked?" };

test("answers with a letter and the probability of yes", async () => {
  const { output, asked } = await run(imageCheck, input, {
    inputs: { image },
    decide: () => ({ y: 0.1, n: 0.9 }),
  });
  expect(output).toEqual({ answer: "n", probability: 0.1 });
  expect(asked[0]).toMatchObject({ image, content: "Q: Is the door locked?", options: ["y", "n"] });
});

test("below the threshold it is uncertain, and the probability is given all the same", async () => {
  const script = { inputs: { image }, decide: () => ({ y: 0.7, n: 0.3 }) };
  expect((await run(imageCheck, input, script)).output.answer).toBe("y");
  expect((await run(imageCheck, { ...input, threshold: 0.8 }, script)).output).toEqual({
    answer: "uncertain",
    probability: 0.7,
  });
});

test("the picture is fetched from where the input says", () => {
  expect(imageCheck.inputs!(imageCheck.input.parse(input))).toEqual({
    image: { from: "s3://home/in/door.jpg", as: "image" },
  });
});

test("a question stays one line", () => {
  expect(checkContent(" a\n\nb ")).toBe("Q: a b");
});

test.for([
  { question: "?" },
  { image: "", question: "?" },
  { ...input, threshold: 0.4 },
  { ...input, question: " " },
])("input that cannot be meant is refused: %j", (bad) => {
  expect(imageCheck.input.safeParse(bad).success).toBe(false);
});
