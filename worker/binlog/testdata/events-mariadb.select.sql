SET NAMES utf8mb4;
SELECT id, HEX(j), HEX(k), HEX(v) FROM events.t ORDER BY id;
