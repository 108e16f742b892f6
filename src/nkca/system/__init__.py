"""The machine: files, memory, devices, the compiler, the cache's folder."""
