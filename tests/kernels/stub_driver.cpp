// A libcuda.so.1 with nothing in it: a driver that finds no device.
extern "C" int evenflow_stub_driver() {
  return 0;
}
