import { expect, test } from "vitest";
import { isReachable, ruleOn } from "../../worker/outbound/addresses.ts";
import fc from "../properties.ts";

test.each([
  ["93.184.215.14", "public"],
  ["2606:4700::6810:84e5", "public"],
  ["::ffff:93.184.215.14", "public"],
  ["64:ff9b::5db8:d70e", "public"],
  ["127.0.0.1", "private"],
  ["127.255.255.254", "private"],
  ["10.1.2.3", "private"],
  ["172.31.255.255", "private"],
  ["172.32.0.1", "public"],
  ["192.168.1.20", "private"],
  ["100.64.0.1", "private"],
  ["::1", "private"],
  ["fd12:3456::1", "private"],
  ["::ffff:192.168.1.20", "private"],
  ["169.254.169.254", "link-local"],
  ["::ffff:169.254.169.254", "link-local"],
  ["fe80::1", "link-local"],
  ["fe80::1%en0", "link-local"],
  ["100.100.100.200", "metadata"],
  ["168.63.129.16", "metadata"],
  ["fd00:ec2::254", "metadata"],
  ["0.0.0.0", "reserved"],
  ["255.255.255.255", "reserved"],
  ["224.0.0.251", "reserved"],
  ["::", "reserved"],
  ["ff02::fb", "reserved"],
  ["::7f00:1", "reserved"],
  ["64:ff9b::7f00:1", "reserved"],
  ["64:ff9b:1::7f00:1", "reserved"],
  ["2002:7f00:1::", "reserved"],
  ["2001:0:7f00:1::", "reserved"],
  ["2001:db8::1", "reserved"],
  ["no address", "reserved"],
  ["", "reserved"],
])("%s is %s", (address, ruling) => {
  expect(ruleOn(address)).toBe(ruling);
});

test("allowPrivate opens the home network and nothing else", () => {
  const rulings = ["public", "private", "link-local", "metadata", "reserved"] as const;
  expect(rulings.filter((ruling) => isReachable(ruling, false))).toEqual(["public"]);
  expect(rulings.filter((ruling) => isReachable(ruling, true))).toEqual(["public", "private"]);
});

test("an address inside an IPv6 address is never more reachable than by itself", () => {
  const hex = (high: number, low: number) => ((high << 8) | low).toString(16);
  fc.assert(
    fc.property(fc.ipV4(), fc.boolean(), (address, allowPrivate) => {
      const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number];
      const groups = `${hex(a, b)}:${hex(c, d)}`;
      const byItself = isReachable(ruleOn(address), allowPrivate);
      expect(isReachable(ruleOn(`::ffff:${groups}`), allowPrivate)).toBe(byItself);
      if (isReachable(ruleOn(`64:ff9b::${groups}`), allowPrivate)) expect(ruleOn(address)).toBe("public");
      for (const form of [`::${groups}`, `2002:${groups}::`, `64:ff9b:1::${groups}`, `::ffff:0:${groups}`])
        expect(isReachable(ruleOn(form), false)).toBe(false);
    }),
  );
});

test("every IPv6 address outside 2000::/3 and the embedding prefixes is refused", () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const first = Number.parseInt(new URL(`http://[${address}]/`).hostname.slice(1) || "0", 16) || 0;
      fc.pre(first >> 13 !== 1 && first !== 0 && first !== 0x64);
      expect(isReachable(ruleOn(address), false)).toBe(false);
    }),
  );
});
