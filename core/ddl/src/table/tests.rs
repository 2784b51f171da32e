use super::*;
use crate::SqlMode;

const MYSQL: &str = r"CREATE TABLE `t` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `my_row_id` bigint unsigned NOT NULL /*!80023 INVISIBLE */,
  `a` int DEFAULT NULL,
  `b` varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL DEFAULT 'x''y' COMMENT 'it''s',
  `c` decimal(10,2) unsigned zerofill DEFAULT '00000001.50',
  `d` timestamp(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  `e` enum('a','b '',c') COLLATE utf8mb4_bin DEFAULT NULL,
  `g` int GENERATED ALWAYS AS ((`a` + 1)) VIRTUAL,
  `h` varchar(36) DEFAULT (uuid()),
  `i` json DEFAULT NULL,
  `p` point NOT NULL /*!80003 SRID 4326 */,
  `v` vector(3) DEFAULT NULL,
  `bi` bit(9) DEFAULT b'101',
  `f` float(7,3) DEFAULT NULL,
  `y` year DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`b`(10),`a` DESC) USING BTREE COMMENT 'k',
  KEY `fx` ((`a` * 2)) /*!80000 INVISIBLE */,
  FULLTEXT KEY `ft` (`b`) /*!50100 WITH PARSER `ngram` */ ,
  SPATIAL KEY `sp` (`p`),
  CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `other`.`p` (`id`) ON DELETE SET NULL ON UPDATE CASCADE,
  CONSTRAINT `ck` CHECK ((`a` > 0)) /*!80016 NOT ENFORCED */
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci ROW_FORMAT=COMPRESSED COMMENT='tt'
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB,
 PARTITION p1 VALUES LESS THAN MAXVALUE ENGINE = InnoDB) */";

#[test]
fn reads_what_mysql_shows() {
    let (schema, name, table) = parse_create(MYSQL, SqlMode::default()).unwrap();
    assert_eq!((schema, name.as_str()), (None, "t"));
    assert_eq!(table.columns.len(), 15);
    assert!(table.columns[1].invisible);
    assert_eq!(table.columns[3].default.as_deref(), Some("'x''y'"));
    assert_eq!(table.columns[3].comment.as_deref(), Some("it's"));
    assert_eq!(table.columns[4].data_type, DataType::Decimal { precision: 10, scale: 2 });
    assert!(table.columns[4].unsigned && table.columns[4].zerofill);
    assert_eq!(table.columns[5].on_update.as_deref(), Some("CURRENT_TIMESTAMP(3)"));
    assert!(table.columns[5].nullable);
    assert_eq!(table.columns[6].data_type, DataType::Enum { members: vec!["a".into(), "b ',c".into()] });
    assert_eq!(table.columns[7].generated, Some(Generated { expression: "(`a` + 1)".into(), stored: false }));
    assert_eq!(table.columns[8].default.as_deref(), Some("(uuid())"));
    assert_eq!(table.columns[10].data_type, DataType::Geometry { kind: "point".into() });
    assert_eq!(table.columns[11].data_type, DataType::Vector { dimensions: Some(3) });
    assert_eq!(table.columns[12].data_type, DataType::Bit { n_bits: 9 });
    let names: Vec<_> = table.indexes.iter().map(|i| (i.name.as_str(), i.kind, i.invisible)).collect();
    assert_eq!(
        names,
        [
            ("PRIMARY", IndexKind::Primary, false),
            ("u", IndexKind::Unique, false),
            ("fx", IndexKind::Key, true),
            ("ft", IndexKind::Fulltext, false),
            ("sp", IndexKind::Spatial, false),
        ]
    );
    assert_eq!(table.indexes[1].parts[0].prefix, Some(10));
    assert!(table.indexes[1].parts[1].descending);
    assert_eq!(table.foreign_keys[0].parent_schema.as_deref(), Some("other"));
    assert_eq!(table.charset.as_deref(), Some("utf8mb4"));
    assert_eq!(table.collation.as_deref(), Some("utf8mb4_0900_ai_ci"));
    assert_eq!(table.comment.as_deref(), Some("tt"));
    assert!(table.tail.starts_with("ROW_FORMAT=COMPRESSED /*!50100 PARTITION BY RANGE (`id`)"));
    assert!(table.tail.ends_with("ENGINE = InnoDB) */"));
    assert_eq!(table.column_charset(3), Some("latin1"));
    assert_eq!(table.column_charset(6), Some("utf8mb4"));
    assert_eq!(table.column_charset(2), None);
}

const MARIADB: &str = r"CREATE TABLE `s`.`t` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`j`)),
  `c` varchar(20) /*!100301 COMPRESSED*/ DEFAULT NULL,
  `u` uuid DEFAULT uuid(),
  `i4` inet4 DEFAULT NULL,
  `i6` inet6 DEFAULT NULL,
  `d` int(10) unsigned zerofill DEFAULT (`id` + 1),
  `g` int(11) GENERATED ALWAYS AS (`id` * 2) STORED,
  `h` int(11) INVISIBLE DEFAULT 3,
  `old` datetime /* mariadb-5.3 */ DEFAULT NULL,
  `x` varchar(10) DEFAULT NULL `foo`='bar',
  `rs` timestamp(6) GENERATED ALWAYS AS ROW START,
  `re` timestamp(6) GENERATED ALWAYS AS ROW END,
  `q` geometry NOT NULL REF_SYSTEM_ID=4326,
  PRIMARY KEY (`id`,`re`),
  UNIQUE KEY `k` (`c`) USING HASH,
  KEY `ig` (`d`) IGNORED,
  PERIOD FOR SYSTEM_TIME (`rs`, `re`),
  CONSTRAINT `ck` CHECK (`id` > 0 and `d` in (1,2))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_ai_ci `encryption_key_id`=2 WITH SYSTEM VERSIONING
 PARTITION BY SYSTEM_TIME
(PARTITION `p0` HISTORY ENGINE = InnoDB,
 PARTITION `pn` CURRENT ENGINE = InnoDB)";

#[test]
fn reads_what_mariadb_shows() {
    let (schema, name, table) = parse_create(MARIADB, SqlMode::default()).unwrap();
    assert_eq!((schema.as_deref(), name.as_str()), (Some("s"), "t"));
    assert_eq!(table.columns.len(), 14);
    assert_eq!(table.columns[1].data_type, DataType::LongText);
    assert_eq!(table.columns[3].data_type, DataType::Uuid);
    assert_eq!(table.columns[3].default.as_deref(), Some("uuid()"));
    assert!(table.columns[7].generated.as_ref().unwrap().stored);
    assert!(table.columns[8].invisible);
    assert_eq!(table.columns[8].default.as_deref(), Some("3"));
    assert_eq!(table.columns[9].data_type, DataType::DateTime { fsp: 0 });
    assert_eq!(table.columns[11].generated.as_ref().unwrap().expression, "ROW START");
    assert_eq!(table.indexes.len(), 3);
    assert!(table.indexes[2].invisible);
    assert!(
        table.tail.contains("`encryption_key_id`=2 WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME"),
        "{}",
        table.tail
    );
}
