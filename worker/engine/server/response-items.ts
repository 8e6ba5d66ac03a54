// The last items that /v1/responses answered with. Some clients, such as @ai-sdk/openai, send back an item's id in place of the item,
// because OpenAI keeps them. This engine remembers a bounded number of them, in memory only.
import { invalid } from "../generation/backend.ts";

const MAX_ITEMS = 2_000;
const MAX_CHARACTERS = 4 * 1024 * 1024;

type Item = { type?: string | null | undefined; id?: string | null | undefined; [field: string]: unknown };

export class RememberedItems {
  // The oldest come first.
  readonly #kept = new Map<string, { item: Item; characters: number }>();
  #characters = 0;

  keep(item: Item): void {
    const characters = JSON.stringify(item).length;
    if (typeof item.id !== "string" || characters > MAX_CHARACTERS) return;
    this.#kept.set(item.id, { item, characters });
    this.#characters += characters;
    while (this.#kept.size > MAX_ITEMS || this.#characters > MAX_CHARACTERS) this.#forgetOldest();
  }

  /** The item itself, or the one that it refers to. Throws `invalid_input` when that one is not remembered. */
  resolved(item: Item, at: string): Item {
    const { type, id, role } = item;
    const isReference = type === "item_reference" || (type == null && role === undefined && id != null);
    if (!isReference) return item;
    const kept = this.#kept.get(id ?? "");
    if (kept !== undefined) return kept.item;
    throw invalid(
      `${at}.id`,
      `${at}.id: this engine remembers only its last answers, and not this one; send the item itself (with @ai-sdk/openai: store: false).`,
    );
  }

  #forgetOldest(): void {
    const [oldest] = this.#kept;
    if (oldest === undefined) return;
    this.#kept.delete(oldest[0]);
    this.#characters -= oldest[1].characters;
  }
}
