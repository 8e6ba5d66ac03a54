// What the model gets for a summary.
const oneLine = (text: string) => text.replaceAll(/\s+/g, " ").trim();

export const summaryContent = (part: string, sentences: number) =>
  `Text: ${oneLine(part)}\nSummary: ${sentences}`;
