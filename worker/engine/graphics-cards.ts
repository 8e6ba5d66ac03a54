// Which graphics cards this machine has, as far as can be told without loading what drives them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const NVIDIA = "/proc/driver/nvidia/gpus";

/** NVIDIA's names where Linux tells them; null for none. Apple's GPUs are no cards: they share the machine's memory. */
export function graphicsCards(): string | null {
  try {
    const names = readdirSync(NVIDIA).map(
      (card) => /^Model:\s+(.+)$/m.exec(readFileSync(join(NVIDIA, card, "information"), "utf8"))?.[1],
    );
    return names.filter(Boolean).join(", ") || null;
  } catch {
    return null;
  }
}
