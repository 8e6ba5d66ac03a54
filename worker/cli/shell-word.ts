// A text as one word of a shell, for commands that are printed to be copied: a folder may have blanks in its name.

export const shellWord = (text: string): string =>
  /^[\w./@:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
