// What the model gets for the questions of a research and for a summary.
const oneLine = (text: string) => text.replaceAll(/\s+/g, " ").trim();

export const keywordsContent = (question: string, count: number) =>
  `Question: ${oneLine(question)}\nKeywords: ${count}`;

export const claimsContent = (where: string, part: string, question: string) =>
  `Article: ${where}${oneLine(part)}\nClaims: ${oneLine(question)}`;

export const answerContent = (question: string, claims: readonly string[]) =>
  `Question: ${oneLine(question)}\n${claims.map((claim, index) => `${index + 1}. ${claim}\n`).join("")}Answer:`;

export const compareContent = (one: string, other: string, question?: string) =>
  `${question === undefined ? "" : `Question: ${oneLine(question)}\n`}A: ${oneLine(one)}\nB: ${oneLine(other)}`;

export const summaryContent = (part: string, sentences: number) =>
  `Text: ${oneLine(part)}\nSummary: ${sentences}`;
