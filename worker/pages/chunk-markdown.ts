// Cuts the Markdown of a page into parts.
import type { Chunk } from "../job/handler.ts";
import { chunkText } from "../job/text.ts";

export const chunkMarkdown = (markdown: string, size: number, _title: string | null): Chunk[] =>
  chunkText(markdown, size).map((text) => ({ text, path: [], start: 0, end: 0 }));
