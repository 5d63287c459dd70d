// Tests the functions that @hey-api/openapi-ts generated from the OpenAPI document. It calls them
// as a third-party program would, against a running service. It prints a line for every call.
import { createClient, type Client } from './exports/client/index.js';
import { createExport, deleteExport, downloadExport, getExport, listExports } from './exports/sdk.gen.js';
import type { CreateExportData, Export, Problem } from './exports/types.gen.js';
import { did, env, pause, same, sha256 } from './check.js';

const clientOf = (url: string, key: string) => createClient({ baseUrl: env(url), auth: () => env(key) });

async function create(client: Client, query: CreateExportData['query'], headers: CreateExportData['headers'] = {}): Promise<Export> {
  const { data, error, response } = await createExport({ client, query, headers });
  if (!data) throw new Error(`POST: ${error.code}: ${error.detail}`);
  same('status', response?.status, 202);
  same('Location', response?.headers.get('Location'), `/v1/exports/${data.id}`);
  return data;
}

async function until(client: Client, id: string, status: Export['status']): Promise<Export> {
  for (;;) {
    const { data, error } = await getExport({ client, path: { id }, headers: { Prefer: 'wait=10' } });
    if (!data) throw new Error(`GET: ${error.code}: ${error.detail}`);
    if (data.status === status) return data;
    if (data.error) throw new Error(`${data.error.code}: ${data.error.message}`);
    await pause(50);
  }
}

async function remove(client: Client, id: string, what: string) {
  const { response } = await deleteExport({ client, path: { id } });
  same('status', response?.status, 204);
  did('deleteExport', 204, what);
}

async function everyFormat(client: Client) {
  for (const format of ['json', 'csv', 'markdown', 'ndjson', 'parquet'] as const) {
    let e = await create(client, { format });
    same('format', e.format, format);
    same('priority', e.priority, null);
    did('createExport', 202, format);
    e = await until(client, e.id, 'READY');
    same('progress', e.progress, 100);
    did('getExport', 200, format);

    const path = { id: e.id };
    const streamed = await downloadExport({ client, path, parseAs: 'stream' });
    const file = await new Response(streamed.data as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer();
    same('size', file.byteLength, e.size_bytes);
    same('digest', await sha256(file), e.sha256);
    const etag = streamed.response?.headers.get('ETag') ?? undefined;
    same('ETag', etag, `"${e.sha256}"`);
    did('downloadExport', 200, format);

    const whole = await downloadExport({ client, path }); // the generated code parses the file according to its media type
    if (Array.isArray(whole.data)) same('memories', whole.data.length, e.memory_count);
    else if (whole.data instanceof Blob) same('bytes', Buffer.from(await whole.data.arrayBuffer()), Buffer.from(file));
    else same('text', whole.data, Buffer.from(file).toString());
    same('a Blob', whole.data instanceof Blob, format === 'ndjson' || format === 'parquet');
    same('an array', Array.isArray(whole.data), format === 'json');
    did('downloadExport', 200, `${format} at once`);

    const part = await downloadExport({ client, path, headers: { Range: `bytes=${file.byteLength - 10}-`, 'If-Range': etag }, parseAs: 'arrayBuffer' });
    same('status', part.response?.status, 206);
    same('part', Buffer.from(part.data as unknown as ArrayBuffer), Buffer.from(file.slice(-10)));
    did('downloadExport', 206, format);
    const again = await downloadExport({ client, path, headers: { 'If-None-Match': etag } });
    same('status', again.response?.status, 304);
    did('downloadExport', 304, format);
    await remove(client, e.id, format);
  }
}

async function everyFilter(client: Client) {
  const filters = {
    user_id: 'user-1', agent_id: 'agent 1, with ü&=+', session_id: 'session-1', priority: 'HIGH', categories: ['work', 'food & drink'],
    created_after: '2024-01-01T00:00:00+02:00', created_before: '2030-01-01T00:00:00Z',
  } satisfies CreateExportData['query'];
  const headers = { 'Idempotency-Key': crypto.randomUUID() };
  const e = await create(client, { ...filters, format: 'csv' }, headers);
  for (const name of ['user_id', 'agent_id', 'session_id', 'priority', 'categories'] as const) same<unknown>(name, e[name], filters[name]);
  for (const name of ['created_after', 'created_before'] as const) same(name, Date.parse(e[name]!), Date.parse(filters[name]));
  did('createExport', 202, 'every filter');
  same('id', (await create(client, { ...filters, format: 'csv' }, headers)).id, e.id);
  did('createExport', 202, 'the same again');
  const other = await createExport({ client, query: { ...filters, format: 'json' }, headers });
  refused('createExport', 'Idempotency-Key', other, 422, 'IDEMPOTENCY_KEY_REUSED');
}

async function pages(client: Client) {
  const seen = new Set<string>();
  for (let page = 1; ; page++) {
    const { data } = await listExports({ client, query: { page, page_size: 2 } });
    for (const e of data!.data) seen.add(e.id);
    if (page < data!.meta.last_page) continue;
    same('exports', seen.size, data!.meta.total);
    same('more than a page', page > 1, true);
    return did('listExports', 200, 'pages');
  }
}

function refused(operation: string, what: string, answer: { error?: Problem; response?: Response }, status: number, code: string) {
  same('status', answer.response?.status, status);
  same('code', answer.error?.code, code);
  same('status', answer.error?.status, status);
  same('errors', (answer.error?.errors?.length ?? 0) > 0, code === 'INVALID_REQUEST');
  did(operation, status, what);
}

async function refusals(client: Client) {
  const path = { id: crypto.randomUUID() };
  const at = '2026-01-01T00:00:00Z';
  refused('createExport', 'an empty window', await createExport({ client, query: { created_after: at, created_before: at } }), 422, 'INVALID_REQUEST');
  refused('listExports', 'page 0', await listExports({ client, query: { page: 0 } }), 422, 'INVALID_REQUEST');
  refused('getExport', 'unknown', await getExport({ client, path }), 404, 'EXPORT_NOT_FOUND');
  refused('downloadExport', 'unknown', await downloadExport({ client, path }), 404, 'EXPORT_NOT_FOUND');
  refused('deleteExport', 'unknown', await deleteExport({ client, path }), 404, 'EXPORT_NOT_FOUND');

  const stranger = clientOf('MEMEXPORT_URL', 'NO_KEY');
  for (const [status, code, reads, writes] of [
    [401, 'UNAUTHORIZED', stranger, stranger],
    [403, 'PERMISSION_DENIED', clientOf('MEMEXPORT_URL', 'API_KEY_WRITE'), clientOf('MEMEXPORT_URL', 'API_KEY_READ')],
  ] as const) {
    refused('createExport', code, await createExport({ client: writes }), status, code);
    refused('listExports', code, await listExports({ client: reads }), status, code);
    refused('getExport', code, await getExport({ client: reads, path }), status, code);
    refused('downloadExport', code, await downloadExport({ client: reads, path }), status, code);
    refused('deleteExport', code, await deleteExport({ client: writes, path }), status, code);
  }
}

/** notReady uses a service that accepts exports but has no worker. */
async function notReady(client: Client) {
  const e = await create(client, {});
  refused('downloadExport', 'PENDING', await downloadExport({ client, path: { id: e.id } }), 409, 'EXPORT_NOT_READY');
  await remove(client, e.id, 'PENDING');
}

/** expired uses a service whose exports expire after a second. */
async function expired(client: Client) {
  const e = await until(client, (await create(client, {})).id, 'EXPIRED');
  refused('downloadExport', 'EXPIRED', await downloadExport({ client, path: { id: e.id } }), 410, 'EXPORT_EXPIRED');
}

const client = clientOf('MEMEXPORT_URL', 'API_KEY');
await everyFormat(client);
await everyFilter(client);
await pages(client);
await refusals(client);
await notReady(clientOf('MEMEXPORT_URL_IDLE', 'API_KEY'));
await expired(clientOf('MEMEXPORT_URL_BRIEF', 'API_KEY'));
