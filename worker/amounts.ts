// Counts, sizes and lengths of time as people read them, in tables, messages and hints. Pure.

/** `1 message`, `2 messages`. */
export const plural = (count: number, one: string, more = `${one}s`): string =>
  `${count} ${count === 1 ? one : more}`;

/** 1 GB is 1,000,000,000 bytes, as shops and file managers count. */
export const sizeWords = (bytes: number): string =>
  bytes >= 999.5e6 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** 75 seconds are `1 min 15 s`. */
export function lengthWords(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}
