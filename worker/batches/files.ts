// The bytes of files, below the data folder: uploads, and what batches write. The list of files is in batch-store.ts. They are on this
// machine's disk and not in the bucket, because a file of 200 MB is read and written in pieces here.
import { createReadStream, readdirSync, rmSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { KamadoError } from "../errors.ts";
import { freeBytesOf, LEAST_FREE } from "../free-disk.ts";
import { makeFolder } from "../make-folder.ts";

/** Of a file that is still being uploaded. */
const PART = ".part";

export class BatchFiles {
  readonly #folder: string;

  constructor(folder: string) {
    makeFolder(folder, 0o700);
    this.#folder = folder;
  }

  /** `id` comes from the store, never from a request. */
  pathOf(id: string): string {
    return join(this.#folder, id);
  }

  read(id: string): Readable {
    return createReadStream(this.pathOf(id));
  }

  async remove(id: string): Promise<void> {
    await rm(this.pathOf(id), { force: true });
  }

  /** Writes a file piece by piece and resolves with its length when it is on the disk. Throws what the content throws, and `disk_full`. */
  async write(id: string, content: AsyncIterable<Uint8Array>): Promise<number> {
    const part = this.pathOf(id + PART);
    try {
      const bytes = await this.#writePart(part, content);
      await rename(part, this.pathOf(id));
      return bytes;
    } catch (thrown) {
      await rm(part, { force: true });
      if ((thrown as NodeJS.ErrnoException).code === "ENOSPC") throw diskFull(thrown);
      throw thrown;
    }
  }

  async #writePart(part: string, content: AsyncIterable<Uint8Array>): Promise<number> {
    await using file = await open(part, "w", 0o600);
    let bytes = 0;
    for await (const chunk of content) {
      if ((freeBytesOf(this.#folder) ?? Infinity) < LEAST_FREE + chunk.length) throw diskFull();
      await file.write(chunk);
      bytes += chunk.length;
    }
    await file.datasync();
    return bytes;
  }

  /** Removes what a crash has left behind: everything but these. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const name of readdirSync(this.#folder))
      if (!ids.has(name)) rmSync(this.pathOf(name), { force: true });
  }
}

const diskFull = (cause?: unknown) =>
  new KamadoError("disk_full", "The disk of KAMADO_DATA_DIR is full: the file was not kept.", {
    cause,
    hint: "Free some disk space, or delete files (`DELETE /v1/files/{id}`), and upload it again.",
  });
