# a global is read and written
    add esi, [rdi + count]
    mov [rdi + count], esi
    mov rax, [rdi + fixed]
    mov rdx, [rdi + lent_global]
    mov [rdx], esi
    mov eax, [rdx]
    ret

# a memory's size
    mov rax, [rdi + memory + 8]
    mov rdx, [rdi + shared_memory]
    mov rax, [rdx + 8]
    ret

# sizes of memories and tables as a float's bits
    movsd xmm0, [rdi + memory + 8]
    movsd xmm0, [rdi + table + 8]
    mov rdx, [rdi + shared_memory]
    movsd xmm0, [rdx + 8]
    mov rdx, [rdi + lent_table]
    movsd xmm0, [rdx + 8]
    mov eax, esi
    ret

# sizes of a lent table of references
    mov rdx, [rdi + lent_references]
    mov eax, [rdx + 8]
    ret
