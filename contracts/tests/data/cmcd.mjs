// Writes cmcd.json: what players and @svta/cml-cmcd say, and how it is to stand in the access log. See README.md.
import { readFileSync, writeFileSync } from "node:fs";
import { appendCmcdHeaders, appendCmcdQuery } from "@svta/cml-cmcd";
import { SfItem, SfToken, decodeSfDict } from "@svta/cml-structured-field-values";

const LISTS = new Set(
  "ab bl br bsa bsd bsda lab lb mtp pb tab tb tbl tpb ec nor".split(" "),
);

/** The value of one pair as the access log shows it. */
function shown(key, item) {
  const plain = (value) =>
    value instanceof SfToken ? value.description : typeof value === "symbol" ? value.description : value;
  if (Array.isArray(item.value)) return item.value.map((member) => listed(plain, member));
  return LISTS.has(key) ? [listed(plain, item)] : plain(item.value);
}

function listed(plain, member) {
  const out = { value: plain(member.value) };
  for (const [name, value] of Object.entries(member.params ?? {})) {
    if (value === true) out.ot = name;
    if (name === "r") out.range = value;
  }
  return out;
}

function says(texts) {
  const out = {};
  for (const text of texts)
    for (const [key, item] of Object.entries(decodeSfDict(text))) out[key] = shown(key, item);
  return out;
}

const of = (value, type) => new SfItem(value, { [type]: true });
const SID = "6e2fb550-c457-11e9-bb97-0800200c9a66";
const told = [
  [1, "a film", { br: 3200, bl: 21300, cid: "asset1", d: 4004, dl: 21300, mtp: 25400, nor: "../300kbps/track.m4v", ot: "v", pr: 1.08, rtp: 15000, sf: "d", sid: SID, st: "v", tb: 6000 }],
  [1, "a start after a stall", { bs: true, su: true, sid: SID }],
  [1, "quotes and commas", { cid: 'a"b\\c,d=1', sid: SID }],
  [1, "own keys", { "com.example-exp": "A", "com.example-n": 5, "com.example-tok": new SfToken("x"), "com.example-on": true }],
  [1, "a range", { nrr: "12323-48763", nor: "seg 8.m4s", sid: SID }],
  [2, "a film", { ab: [of(5128, "av")], bg: true, bl: [of(21300, "v"), of(20900, "a")], br: [of(5000, "v"), of(128, "a")], cdn: "cdn-1", cid: "asset1", cs: "x", d: 4004, dfa: 3, lb: [of(200, "v")], ltc: 2500, msd: 812, mtp: [of(48100, "v")], nor: ["seg8.m4s", new SfItem("seg9.m4s", { r: "0-100" })], ot: "v", pr: 1.25, pt: 100200, rtp: 15000, sf: "h", sid: SID, sn: 7, st: "ll", sta: "p", tb: [of(6000, "v")], tbl: [of(30000, "v")], tpb: [of(6000, "v")] }],
  [2, "after a stall", { bs: true, bsa: [of(2, "v")], bsd: [of(300, "v"), of(120, "v")], bsda: [of(420, "v")], ec: ["3016", "a b"], nr: true, pr: 0, sid: SID, sta: "r", su: true }],
  [2, "own keys", { "com.example-exp": "A", "com.example-l": [1, 2], sid: SID }],
];

const cases = [];
for (const [version, name, data] of told) {
  const from = `@svta/cml-cmcd, version ${version}: ${name}`;
  const query = appendCmcdQuery("http://a/v/x/y", data, { version }).split("?")[1];
  cases.push({ from, query }, { from, fields: appendCmcdHeaders({}, data, { version }) });
}
cases.push(...JSON.parse(readFileSync("cmcd_players.json")));
for (const one of cases) {
  const texts = one.fields
    ? Object.values(one.fields)
    : [new URLSearchParams(one.query).get("CMCD")];
  one.says = says(texts);
}
writeFileSync("cmcd.json", `${JSON.stringify(cases, null, 1)}\n`);
