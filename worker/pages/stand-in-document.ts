// Stands in for `createPages().document` until that is there: HTML and plain text only.
import { KamadoError } from "../errors.ts";
import { decodeText } from "../http/text-encoding.ts";
import type { Pages } from "../job/handler.ts";
import { pageOf } from "./article.ts";
import type { Source } from "./page-reader.ts";

export const documentBy =
  (pages: Pick<Pages, "article">) =>
  async ({ bytes, contentType, url }: Source) => {
    const text = decodeText(bytes, contentType);
    if (text === null)
      throw new KamadoError("document_unreadable", "It is no text in a character set that is known.");
    if (!/^\s*</.test(text)) return pageOf({ text: text.trim(), format: "text", url });
    return { ...(await pages.article(text, { url: url ?? undefined })), url, canonicalUrl: url };
  };
