-- A ledger as schema version 1 wrote it.
CREATE TABLE identities (uuid TEXT PRIMARY KEY, own INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX one_own_identity ON identities (own) WHERE own = 1;
CREATE TABLE containers (
  id TEXT PRIMARY KEY,
  image_key TEXT NOT NULL,
  user TEXT,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  ports TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  spec TEXT NOT NULL,
  ready TEXT NOT NULL,
  acknowledged INTEGER NOT NULL,
  condemned TEXT
) STRICT;
INSERT INTO identities VALUES ('11111111-1111-4111-8111-111111111111', 1);
INSERT INTO containers VALUES ('abc', 'web', 'alice', 100, 200,
  '[{"name":"web","port":80,"protocol":"http","hostPort":9000}]', 'hash', '{"image":"web"}',
  '{"path":"/","statuses":[{"from":200,"to":599}],"timeoutMs":60000}', 1, NULL);
PRAGMA application_id = 1146318967;
PRAGMA user_version = 1;
