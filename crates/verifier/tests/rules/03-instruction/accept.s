# integers
    movzx eax, sil
    imul eax, esi
    bswap eax
    shl eax, 3
    adc eax, 7
    sete al
    movzx eax, al
    ret

# baseline vectors
> function: floats
    pxor xmm2, xmm2
    paddd xmm1, xmm2
    addsd xmm0, xmm2
    sqrtsd xmm0, xmm0
    ret

# vectors and bits of x86-64-v3, declared
> function: binary
> cpu: x86-64-v3
    vpxor xmm2, xmm2, xmm2
    vpaddd xmm1, xmm2, xmm2
    vfmadd213sd xmm1, xmm2, xmm2
    andn rax, rsi, rdx
    shlx rax, rax, rdx
    tzcnt rax, rax
    ret
