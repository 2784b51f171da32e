SET NAMES utf8mb4;
RESET BINARY LOGS AND GTIDS;
DROP DATABASE IF EXISTS events;
CREATE DATABASE events;
USE events;
CREATE TABLE t (id int PRIMARY KEY, j json, k json, v varchar(20));
-- Partial JSON updates.
SET binlog_row_value_options = 'PARTIAL_JSON';
INSERT INTO t VALUES (1, '{"a": 1, "b": [1, 2, {"c": "x"}], "long": "0123456789012345678901234567890123456789"}', '[1, 2, 3]', 'one'),
  (2, '{"a": 1, "long": "0123456789012345678901234567890123456789"}', NULL, 'two');
UPDATE t SET j = JSON_SET(j, '$.a', 2.5, '$.b[2].c', 'yy', '$."new \\"key"', JSON_OBJECT('d', CAST('2024-02-29' AS DATE))) WHERE id = 1;
UPDATE t SET j = JSON_REMOVE(j, '$.b[0]'), k = JSON_ARRAY_APPEND(k, '$', 4), v = 'uno' WHERE id = 1;
UPDATE t SET j = JSON_REPLACE(j, '$.a', CAST('1.10' AS DECIMAL(5,2))), k = '{}' WHERE id = 2;
UPDATE t SET j = JSON_INSERT(j, '$.a2', 'é'), k = JSON_SET(k, '$.z', true), v = NULL;
SET binlog_row_value_options = '';
-- Compressed transactions.
SET binlog_transaction_compression = ON;
BEGIN;
INSERT INTO t SELECT 10 + seq, JSON_OBJECT('n', seq), NULL, REPEAT('v', 20) FROM (WITH RECURSIVE s AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM s WHERE seq < 50) SELECT seq FROM s) AS q;
UPDATE t SET v = 'changed' WHERE id > 40;
DELETE FROM t WHERE id BETWEEN 11 AND 40;
COMMIT;
SET binlog_transaction_compression = OFF;
-- Tagged transaction ids.
SET gtid_next = 'AUTOMATIC:mytag';
INSERT INTO t VALUES (3, NULL, NULL, 'three');
SET gtid_next = 'AUTOMATIC';
-- XA.
XA START 'gtrid', 'bqual', 7;
INSERT INTO t VALUES (4, NULL, NULL, 'four');
XA END 'gtrid', 'bqual', 7;
XA PREPARE 'gtrid', 'bqual', 7;
XA COMMIT 'gtrid', 'bqual', 7;
-- Non-transactional, DDL with a time zone, several schemas.
CREATE TABLE m (id int AUTO_INCREMENT PRIMARY KEY, r double, s varchar(50)) ENGINE=MyISAM;
INSERT INTO m VALUES (1, 0.5, 'row');
SET time_zone = '+02:00', foreign_key_checks = 0;
CREATE TABLE z (ts timestamp NOT NULL DEFAULT '2024-01-01 00:00:00');
SET foreign_key_checks = 1;
-- Rows query, statement format with its session events.
SET binlog_rows_query_log_events = ON;
UPDATE t SET v = 'q' WHERE id = 3;
SET binlog_rows_query_log_events = OFF;
SET binlog_format = STATEMENT, insert_id = 77, @user = 'näme', @num = -5;
INSERT INTO m (r, s) VALUES (RAND(), CONCAT(@user, @num));
SET binlog_format = ROW;
FLUSH BINARY LOGS;
