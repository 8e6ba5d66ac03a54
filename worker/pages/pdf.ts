// A PDF as text and Markdown.
import { KamadoError } from "../errors.ts";
import type { Page } from "../job/handler.ts";

export async function readPdf(
  _bytes: Uint8Array,
  _limits: { maxPages: number; timeoutMs: number },
): Promise<Partial<Page> & Pick<Page, "text">> {
  throw new KamadoError("document_unreadable", "The document cannot be read: it is a PDF.");
}
