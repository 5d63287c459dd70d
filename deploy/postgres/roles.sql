-- Creates the roles and databases of docker-compose.yml and kubernetes/overlays/demo. The image of Postgres
-- runs this file once, after it has created its data directory. psql reads the passwords from the container's
-- environment.
\getenv migrate MIGRATE_PASSWORD
\getenv api API_PASSWORD
\getenv worker WORKER_PASSWORD
\getenv memories MEMORIES_PASSWORD
\getenv temporal TEMPORAL_PASSWORD

-- The roles of docs/security.md. `memexport migrate` grants the rest.
CREATE ROLE memexport_migrate LOGIN PASSWORD :'migrate';
CREATE ROLE memexport_api     LOGIN PASSWORD :'api';
CREATE ROLE memexport_worker  LOGIN PASSWORD :'worker';

-- The memory service, which the service demo stands in for. The worker may read its tables.
CREATE ROLE memories LOGIN PASSWORD :'memories';

CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;

REVOKE ALL ON DATABASE memexport, temporal, temporal_visibility FROM PUBLIC;
GRANT CONNECT ON DATABASE memexport TO memexport_migrate, memexport_api, memexport_worker, memories;
GRANT CREATE ON DATABASE memexport TO memexport_migrate;

\connect memexport
GRANT CREATE ON SCHEMA public TO memories;
ALTER DEFAULT PRIVILEGES FOR ROLE memories IN SCHEMA public GRANT SELECT ON TABLES TO memexport_worker;
