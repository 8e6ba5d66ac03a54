// Counts and sizes as people read them, in tables, messages and hints. Pure.

/** `1 message`, `2 messages`. */
export const plural = (count: number, one: string, more = `${one}s`): string =>
  `${count} ${count === 1 ? one : more}`;

/** 1 GB is 1,000,000,000 bytes, as shops and file managers count. */
export const sizeWords = (bytes: number): string =>
  bytes >= 999.5e6 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
