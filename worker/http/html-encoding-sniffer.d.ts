// The package has no types of its own.
declare module "html-encoding-sniffer" {
  /** The name of the encoding that a page declares; a text begins with `<?xml` or with HTML. */
  export default function sniff(
    bytes: Uint8Array,
    options: { transportLayerEncodingLabel?: string; defaultEncoding: string; maxPrescanBytes: number },
  ): string;
}
