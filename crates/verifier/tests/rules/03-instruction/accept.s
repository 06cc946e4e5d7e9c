# integers
    movzx eax, sil
    imul eax, esi
    bswap eax
    shl eax, 1
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

# every AVX-512 instruction of the list, declared
> function: binary
> cpu: all
    vpxor xmm2, xmm2, xmm2
    evex.vpsraq xmm3, xmm2, 5
    evex.vpsraq xmm3, xmm2, xmm3
    evex.vpmullq xmm3, xmm3, xmm2
    evex.vpabsq xmm3, xmm3
    evex.vpopcntb xmm3, xmm3
    evex.vpermi2b xmm3, xmm2, xmm2
    evex.vcvtudq2ps xmm3, xmm3
    mov eax, esi
    evex.vpmullq xmm3, xmm3, [rdi + rax + 16]     ! memory
    evex.vpopcntb xmm3, [rdi + rax + 3]     ! memory
    evex.vpsraq xmm3, [rdi + rax + 16], 4     ! memory
    vmovdqu [rdi + rax], xmm3     ! memory
    mov eax, esi
    ret

# products with one operand, of each size
> function: binary
    mov rax, rsi
    mul rdx
    imul edx
    mul dx
    mul dl
    movzx eax, al
    ret
