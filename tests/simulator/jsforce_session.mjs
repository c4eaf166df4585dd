// Talks to a simulated org through jsforce and reports what it saw as one JSON document on stdout.
// argv: a JSON object with loginUrl, username, password, clientId, clientSecret, refreshToken, deleted.
import { createRequire } from "node:module";

const jsforce = createRequire(`${process.cwd()}/`)("jsforce");
const org = JSON.parse(process.argv[2]);
const app = { loginUrl: org.loginUrl, clientId: org.clientId, clientSecret: org.clientSecret };
const soql = "SELECT Id, LastName, Owner.Name FROM Lead ORDER BY LastName";

async function signIn() {
  const soap = new jsforce.Connection({ loginUrl: org.loginUrl, version: "60.0" });
  const bySoap = await soap.login(org.username, org.password);
  const conn = new jsforce.Connection({ oauth2: app, version: "66.0" });
  const byOauth = await conn.login(org.username, org.password);
  return { conn, users: [bySoap, byOauth] };
}

async function everyRow(conn, text, options) {
  return conn.query(text, { autoFetch: true, maxFetch: 100000, ...options });
}

async function bulkRows(conn, text, scanAll) {
  const stream = await conn.bulk2.query(text, { pollInterval: 100, pollTimeout: 20000, scanAll });
  return stream.toArray();
}

async function refusal(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return error.errorCode ?? error.name;
  }
}

async function refreshed() {
  const conn = new jsforce.Connection({
    oauth2: app,
    instanceUrl: org.loginUrl,
    accessToken: "00D!dead",
    refreshToken: org.refreshToken,
    version: "66.0",
  });
  return (await conn.query("SELECT COUNT() FROM Lead")).totalSize;
}

async function writeRow(conn) {
  const created = await conn.sobject("Lead").create({ LastName: "From jsforce", Company: "Node" });
  await conn.sobject("Lead").update({ Id: created.id, Title: "CTO" });
  const row = await conn.sobject("Lead").retrieve(created.id);
  await conn.sobject("Lead").destroy(created.id);
  return row.Title;
}

const { conn, users } = await signIn();
const pages = await everyRow(conn, soql, { headers: { "Sforce-Query-Options": "batchSize=200" } });
const fromBulk = await bulkRows(conn, "SELECT Id, LastName, Description FROM Lead", false);
const now = new Date();
const hourAgo = new Date(now.getTime() - 3600000);
console.log(
  JSON.stringify({
    users,
    identity: (await conn.identity()).username,
    objects: (await conn.describeGlobal()).sobjects.length,
    fields: (await conn.describe("Lead")).fields.length,
    rows: pages.records.map((row) => row.Id),
    owner: pages.records[0].Owner.Name,
    all: (await everyRow(conn, soql, { scanAll: true })).records.length,
    bulk: fromBulk.map((row) => row.Id),
    descriptions: fromBulk.slice(0, 3).map((row) => row.Description),
    bulkAll: (await bulkRows(conn, "SELECT Id FROM Lead", true)).length,
    limits: (await conn.limits()).DailyApiRequests.Max,
    usage: conn.limitInfo.apiUsage.limit,
    updated: (await conn.sobject("Lead").updated(hourAgo, new Date(now.getTime() + 120000))).ids.length,
    deleted: (await conn.sobject("Lead").deleted(hourAgo, new Date(now.getTime() + 120000))).deletedRecords,
    refusal: await refusal(() => conn.query("SELECT Nope FROM Lead")),
    bulkRefusal: await refusal(() => bulkRows(conn, "SELECT COUNT() FROM Lead", false)),
    refreshed: await refreshed(),
    written: await writeRow(conn),
  }),
);
