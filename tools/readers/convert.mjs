// Converts a CSV file of psql to Parquet with DuckDB. People do this if they have no exports as Parquet, so
// the benchmark compares exports with this. Usage: node convert.mjs memories.csv memories.parquet
import { DuckDBInstance } from '@duckdb/node-api'

const [from, to] = process.argv.slice(2)
const duckdb = await (await DuckDBInstance.create(':memory:')).connect()
const text = (names) => names.map((name) => `'${name}': 'VARCHAR'`).join(', ')
await duckdb.run(`COPY (SELECT * FROM read_csv('${from}', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  columns = {'id': 'UUID', ${text(['memory', 'user_id', 'agent_id', 'session_id', 'priority', 'status', 'categories'])}, 'metadata': 'JSON',
    'workspace_id': 'UUID', 'access_count': 'BIGINT', 'last_accessed_at': 'TIMESTAMPTZ', 'created_at': 'TIMESTAMPTZ', 'updated_at': 'TIMESTAMPTZ'}))
  TO '${to}' (FORMAT parquet, COMPRESSION zstd)`)
