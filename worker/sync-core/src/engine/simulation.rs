//! Random histories, lanes, crashes: the target equals serial execution, each unit once.
