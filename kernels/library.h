// The parts of evenflow that are libraries of their own, loaded when they are wanted.
#pragma once

namespace evenflow::kernels {

/// Whether the loader would find it, without loading it: cuBLAS and its like would come along, 265 MB.
bool library_is_there(const char* name);

}  // namespace evenflow::kernels
