// A DLL with an export of every kind; every.def lists them.
int state = 41;
int add(int a, int b) { return a + b; }
int next(void) { return ++state; }
const char *a_function_with_a_name_that_is_longer_than_sixteen_characters(void) { return "long"; }
int numbered(void) { return 7; }
int DllMainCRTStartup(void *module, unsigned reason, void *reserved) { return 1; }
