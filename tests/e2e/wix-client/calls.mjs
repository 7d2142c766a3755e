// (A # in a name is left out: the official client does not escape it in getSecretValue.)
// The five calls of Wix's official client, against the server named in SYNCD_TEST_ORIGIN.
import { createClient, ApiKeyStrategy } from "@wix/sdk";
import { secrets } from "@wix/secrets";

const origin = process.env.SYNCD_TEST_ORIGIN;
const real = globalThis.fetch;
const asked = [];
globalThis.fetch = (input, init) => {
  const url = new URL(typeof input === "string" || input instanceof URL ? input : input.url);
  asked.push(`${init?.method ?? "GET"} ${url.origin}${url.pathname}`);
  return real(origin + url.pathname + url.search, init);
};

const client = createClient({
  modules: { secrets },
  auth: ApiKeyStrategy({ siteId: process.env.SYNCD_TEST_SITE, apiKey: process.env.SYNCD_TEST_KEY }),
});
const told = {};
const id = await client.secrets.createSecret({ name: "OFFICIAL_+=-@$", value: "one\r\n\u0000", description: "d" });
told.id = typeof id === "string" ? id : id.id ?? id._id;
told.listed = await client.secrets.listSecretInfo();
await client.secrets.updateSecret(told.id, { value: "two" });
told.value = await client.secrets.getSecretValue("OFFICIAL_+=-@$");
try {
  await client.secrets.createSecret({ name: "OFFICIAL_+=-@$", value: "again" });
} catch (error) {
  told.taken = error?.details?.applicationError?.code ?? String(error);
}
try {
  await client.secrets.createSecret({ name: "bad name", value: "x" });
} catch (error) {
  told.bad = JSON.stringify(error?.details ?? String(error));
}
await client.secrets.deleteSecret(told.id);
told.after = await client.secrets.listSecretInfo();
told.asked = asked;
console.log(JSON.stringify(told));
