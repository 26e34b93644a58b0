rockspec_format = "3.0"
package = "gosched"
version = "0.1.0-1"
source = {url = "git+https://github.com/gosched/gosched", tag = "v0.1.0"}
description = {
  summary = "Go's scheduler for Lua: green threads that may block in C, an FFI, channels",
  detailed = [[
    Green threads that park anywhere, also inside pcall, metamethods, sort comparators and
    coroutines; foreign calls that block without stopping the others; channels, select, task
    groups, timeouts; sockets in the scheduler's poller.]],
  license = "MIT",
}
dependencies = {"lua >= 5.4, < 5.5"}
build = {
  type = "command",
  build_command = "cmake -G Ninja -S . -B build/rock -DCMAKE_BUILD_TYPE=Release -DGS_PYTHON=OFF -DGS_TCL=OFF -DGS_LUA=ON -DGS_TESTS=OFF -DGS_LUA_INSTALL_DIR=lib && cmake --build build/rock --parallel",
  install_command = "cmake --install build/rock --prefix $(PREFIX)/stage && cp $(PREFIX)/stage/lib/gosched.so $(PREFIX)/stage/lib/libgosched.so.0 $(LIBDIR) && rm -r $(PREFIX)/stage",
}
