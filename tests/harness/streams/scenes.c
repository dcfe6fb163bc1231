/* SPDX-License-Identifier: MIT */
/*
 * Small OpenGL 4.3 programs without a window, a part of the driver each: what streams are recorded from. Usage: scenes NAME; without
 * a name the names are printed.
 */
#include <assert.h>
#include <epoxy/egl.h>
#include <epoxy/gl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 32
#define FRAMES 2

static const char position_vs[] =
		"#version 430\n"
		"layout(location=0) in vec2 p; out vec2 t;\n"
		"void main() { t = p * 0.5 + 0.5; gl_Position = vec4(p, 0, 1); }\n";
static const char color_fs[] = "#version 430\n"
			       "in vec2 t; uniform vec4 c; out vec4 o;\n"
			       "void main() { o = c + vec4(t, 0, 1); }\n";

static GLuint shader(GLenum stage, const char *text)
{
	GLuint name = glCreateShader(stage);
	GLint ok;
	char log[1024] = "";

	glShaderSource(name, 1, &text, NULL);
	glCompileShader(name);
	glGetShaderiv(name, GL_COMPILE_STATUS, &ok);
	if (!ok) {
		glGetShaderInfoLog(name, sizeof(log), NULL, log);
		fprintf(stderr, "%s", log);
		exit(EXIT_FAILURE);
	}
	return name;
}

static void link_program(GLuint name)
{
	GLint ok;

	glLinkProgram(name);
	glGetProgramiv(name, GL_LINK_STATUS, &ok);
	assert(ok);
	glUseProgram(name);
}

static GLuint program(const char *vs, const char *fs)
{
	GLuint name = glCreateProgram();

	glAttachShader(name, shader(GL_VERTEX_SHADER, vs));
	if (fs) {
		glAttachShader(name, shader(GL_FRAGMENT_SHADER, fs));
	}
	return name;
}

static GLuint buffer(GLenum target, size_t size, const void *data)
{
	GLuint name;

	glGenBuffers(1, &name);
	glBindBuffer(target, name);
	glBufferData(target, (GLsizeiptr)size, data, GL_DYNAMIC_DRAW);
	return name;
}

static void quad(void)
{
	static const float corners[] = {-0.9f, -0.9f, 0.9f, -0.9f, -0.9f, 0.9f, 0.9f, 0.9f};

	buffer(GL_ARRAY_BUFFER, sizeof(corners), corners);
	glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, NULL);
	glEnableVertexAttribArray(0);
}

static GLuint texture(GLenum target, GLenum format, int levels)
{
	GLuint name;
	uint32_t texels[SIZE * SIZE];

	memset(texels, 0x6a, sizeof(texels));
	glGenTextures(1, &name);
	glBindTexture(target, name);
	switch (target) {
	case GL_TEXTURE_1D:
		glTexStorage1D(target, levels, format, SIZE);
		break;
	case GL_TEXTURE_2D_ARRAY:
	case GL_TEXTURE_3D:
		glTexStorage3D(target, levels, format, SIZE, SIZE, 4);
		glTexSubImage3D(target, 0, 0, 0, 1, SIZE, SIZE, 1, GL_RGBA, GL_UNSIGNED_BYTE,
				texels);
		break;
	case GL_TEXTURE_2D_MULTISAMPLE:
		glTexStorage2DMultisample(target, 4, format, SIZE, SIZE, GL_TRUE);
		return name;
	default:
		glTexStorage2D(target, levels, format, SIZE, SIZE);
		if (target == GL_TEXTURE_2D && format == GL_RGBA8) {
			glTexSubImage2D(target, 0, 0, 0, SIZE, SIZE, GL_RGBA, GL_UNSIGNED_BYTE,
					texels);
		}
		break;
	}
	glTexParameteri(target, GL_TEXTURE_MAX_LEVEL, levels - 1);
	return name;
}

static void framebuffer(GLuint color, GLuint depth)
{
	GLuint name;

	glGenFramebuffers(1, &name);
	glBindFramebuffer(GL_FRAMEBUFFER, name);
	if (color) {
		glFramebufferTexture(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, color, 0);
	}
	if (depth) {
		glFramebufferTexture(GL_FRAMEBUFFER, GL_DEPTH_STENCIL_ATTACHMENT, depth, 0);
	}
	glViewport(0, 0, SIZE, SIZE);
	assert(glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE);
}

static void target(void)
{
	framebuffer(texture(GL_TEXTURE_2D, GL_RGBA8, 1),
			texture(GL_TEXTURE_2D, GL_DEPTH24_STENCIL8, 1));
	glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT | GL_STENCIL_BUFFER_BIT);
}

static void scene_state(void)
{
	static const unsigned short indices[] = {0, 1, 2, 2, 1, 3};

	target();
	quad();
	link_program(program(position_vs, color_fs));
	buffer(GL_ELEMENT_ARRAY_BUFFER, sizeof(indices), indices);
	glEnable(GL_BLEND);
	glBlendFunc(GL_SRC_ALPHA, GL_ONE_MINUS_SRC_ALPHA);
	glEnable(GL_DEPTH_TEST);
	glEnable(GL_STENCIL_TEST);
	glStencilFunc(GL_ALWAYS, 3, 0xff);
	glEnable(GL_SCISSOR_TEST);
	glScissor(2, 2, 20, 20);
	glPolygonMode(GL_FRONT_AND_BACK, GL_LINE);
	glDrawElements(GL_TRIANGLES, 6, GL_UNSIGNED_SHORT, NULL);
	glDrawElementsInstanced(GL_TRIANGLES, 6, GL_UNSIGNED_SHORT, NULL, 3);
	glEnable(GL_PRIMITIVE_RESTART_FIXED_INDEX);
	glDrawRangeElements(GL_LINE_STRIP, 0, 3, 6, GL_UNSIGNED_SHORT, NULL);
	glColorMask(GL_TRUE, GL_FALSE, GL_TRUE, GL_FALSE);
	glEnable(GL_CULL_FACE);
	glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
}

static void scene_textures(void)
{
	static const char fs[] =
			"#version 430\n"
			"in vec2 t; out vec4 o; uniform sampler2D a; uniform sampler3D b;\n"
			"uniform sampler2DArray d; uniform samplerCube e; uniform sampler1D f;\n"
			"void main() { o = texture(a, t) + texture(b, vec3(t, 0.5)) + texture(d,"
			"vec3(t, 1)) + texture(e, vec3(t, 1)) + texture(f, t.x); }\n";
	static const char *const names[] = {"a", "b", "d", "e", "f"};
	static const GLenum targets[] = {GL_TEXTURE_2D, GL_TEXTURE_3D, GL_TEXTURE_2D_ARRAY,
			GL_TEXTURE_CUBE_MAP, GL_TEXTURE_1D};
	GLuint name = program(position_vs, fs);

	target();
	quad();
	link_program(name);
	for (int i = 0; i < 5; i++) {
		glActiveTexture(GL_TEXTURE0 + (GLenum)i);
		texture(targets[i], GL_RGBA8, 3);
		glTexParameteri(targets[i], GL_TEXTURE_WRAP_S, GL_MIRRORED_REPEAT);
		glTexParameteri(targets[i], GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
		glTexParameteri(targets[i], GL_TEXTURE_SWIZZLE_R, GL_GREEN);
		glGenerateMipmap(targets[i]);
		glUniform1i(glGetUniformLocation(name, names[i]), i);
	}
	glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
}

static void scene_blit(void)
{
	GLuint samples = texture(GL_TEXTURE_2D_MULTISAMPLE, GL_RGBA8, 1);
	GLuint plain = texture(GL_TEXTURE_2D, GL_RGBA8, 2),
	       other = texture(GL_TEXTURE_2D, GL_RGBA8, 2);
	const GLubyte grey[4] = {80, 80, 80, 255};
	GLuint names[2];

	framebuffer(samples, 0);
	quad();
	link_program(program(position_vs, color_fs));
	glEnable(GL_SAMPLE_SHADING);
	glMinSampleShading(1.0f);
	glSampleMaski(0, 5);
	glEnable(GL_SAMPLE_MASK);
	glClear(GL_COLOR_BUFFER_BIT);
	glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
	glGenFramebuffers(2, names);
	glBindFramebuffer(GL_READ_FRAMEBUFFER, names[0]);
	glFramebufferTexture(GL_READ_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, samples, 0);
	glBindFramebuffer(GL_DRAW_FRAMEBUFFER, names[1]);
	glFramebufferTexture(GL_DRAW_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, plain, 0);
	glBlitFramebuffer(0, 0, SIZE, SIZE, 0, 0, SIZE, SIZE, GL_COLOR_BUFFER_BIT, GL_NEAREST);
	glCopyImageSubData(plain, GL_TEXTURE_2D, 0, 0, 0, 0, other, GL_TEXTURE_2D, 0, 4, 4, 0, 16,
			16, 1);
	if (epoxy_has_gl_extension("GL_ARB_clear_texture")) {
		glClearTexImage(other, 1, GL_RGBA, GL_UNSIGNED_BYTE, grey);
	}
	glBindFramebuffer(GL_READ_FRAMEBUFFER, names[1]);
	glFramebufferTexture(GL_DRAW_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, other, 0);
	glBlitFramebuffer(0, 0, 8, 8, 30, 30, 2, 2, GL_COLOR_BUFFER_BIT, GL_LINEAR);
}

static void scene_compute(void)
{
	static const char text[] =
			"#version 430\n"
			"layout(local_size_x=8, local_size_y=4) in;\n"
			"layout(std430, binding=0) buffer b { uint v[]; };\n"
			"layout(rgba8, binding=0) uniform writeonly image2D i;\n"
			"layout(binding=0) uniform atomic_uint n; shared uint s[32];\n"
			"void main() { s[gl_LocalInvocationIndex] = gl_GlobalInvocationID.x;\n"
			"barrier(); uint k = atomicCounterIncrement(n);\n"
			"v[k & 63u] = s[31u - gl_LocalInvocationIndex];\n"
			"atomicAdd(v[0], 1u); imageStore(i, ivec2(gl_GlobalInvocationID.xy), vec4(1)); }\n";
	GLuint name = glCreateProgram();
	const GLuint groups[3] = {2, 2, 1};

	glAttachShader(name, shader(GL_COMPUTE_SHADER, text));
	link_program(name);
	glBindBufferBase(GL_SHADER_STORAGE_BUFFER, 0, buffer(GL_SHADER_STORAGE_BUFFER, 256, NULL));
	glBindBufferBase(GL_ATOMIC_COUNTER_BUFFER, 0, buffer(GL_ATOMIC_COUNTER_BUFFER, 16, NULL));
	glBindImageTexture(0, texture(GL_TEXTURE_2D, GL_RGBA8, 1), 0, GL_FALSE, 0, GL_WRITE_ONLY,
			GL_RGBA8);
	glDispatchCompute(4, 8, 1);
	glMemoryBarrier(GL_ALL_BARRIER_BITS);
	buffer(GL_DISPATCH_INDIRECT_BUFFER, sizeof(groups), groups);
	glDispatchComputeIndirect(0);
}

static void scene_stages(void)
{
	static const char vs[] = "#version 430\nlayout(location=0) in vec2 p;\n"
				 "void main() { gl_Position = vec4(p, 0, 1); }\n";
	static const char tcs[] =
			"#version 430\nlayout(vertices=3) out;\nvoid main() {\n"
			"gl_out[gl_InvocationID].gl_Position = gl_in[gl_InvocationID].gl_Position;\n"
			"gl_TessLevelOuter[0] = gl_TessLevelOuter[1] = gl_TessLevelOuter[2] = 3.0;\n"
			"gl_TessLevelInner[0] = 2.0; }\n";
	static const char tes[] =
			"#version 430\nlayout(triangles, equal_spacing) in;\n"
			"void main() { gl_Position = gl_TessCoord.x * gl_in[0].gl_Position +\n"
			"gl_TessCoord.y * gl_in[1].gl_Position +\n"
			"gl_TessCoord.z * gl_in[2].gl_Position; }\n";
	static const char gs[] =
			"#version 430\nlayout(triangles) in;\n"
			"layout(triangle_strip, max_vertices=6) out; out vec2 t;\n"
			"void main() { for (int k = 0; k < 3; k++) { t = vec2(k);\n"
			"gl_Position = gl_in[k].gl_Position; EmitVertex(); } EndPrimitive(); }\n";
	GLuint name = program(vs, color_fs);

	target();
	quad();
	glAttachShader(name, shader(GL_TESS_CONTROL_SHADER, tcs));
	glAttachShader(name, shader(GL_TESS_EVALUATION_SHADER, tes));
	glAttachShader(name, shader(GL_GEOMETRY_SHADER, gs));
	link_program(name);
	glPatchParameteri(GL_PATCH_VERTICES, 3);
	glDrawArrays(GL_PATCHES, 0, 3);
}

static void scene_feedback(void)
{
	static const char *const varyings[] = {"t", "gl_Position"};
	GLuint name = program(position_vs, NULL), queries[3], result;

	target();
	quad();
	glTransformFeedbackVaryings(name, 2, varyings, GL_INTERLEAVED_ATTRIBS);
	link_program(name);
	glGenQueries(3, queries);
	glBindBufferBase(GL_TRANSFORM_FEEDBACK_BUFFER, 0,
			buffer(GL_TRANSFORM_FEEDBACK_BUFFER, 4096, NULL));
	glBeginQuery(GL_TRANSFORM_FEEDBACK_PRIMITIVES_WRITTEN, queries[0]);
	glBeginQuery(GL_PRIMITIVES_GENERATED, queries[1]);
	glBeginTransformFeedback(GL_POINTS);
	glDrawArrays(GL_POINTS, 0, 4);
	glPauseTransformFeedback();
	glResumeTransformFeedback();
	glDrawArrays(GL_POINTS, 0, 3);
	glEndTransformFeedback();
	glEndQuery(GL_PRIMITIVES_GENERATED);
	glEndQuery(GL_TRANSFORM_FEEDBACK_PRIMITIVES_WRITTEN);
	glGetQueryObjectuiv(queries[0], GL_QUERY_RESULT, &result);
	link_program(program(position_vs, color_fs));
	glBeginQuery(GL_SAMPLES_PASSED, queries[2]);
	glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
	glEndQuery(GL_SAMPLES_PASSED);
	glBeginConditionalRender(queries[2], GL_QUERY_WAIT);
	glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
	glEndConditionalRender();
}

static void scene_buffers(void)
{
	static const char vs[] =
			"#version 430\nlayout(location=0) in vec2 p; out vec2 t;\n"
			"layout(std140, binding=1) uniform u { vec4 m[8]; };\n"
			"void main() { t = p; gl_Position = vec4(p, 0, 1) + m[gl_VertexID & 7]; }\n";
	static const char fs[] =
			"#version 430\nin vec2 t; out vec4 o; uniform samplerBuffer b;\n"
			"void main() { o = texelFetch(b, int(t.x * 3.0)) + vec4(gl_FragCoord.x); }\n";
	const GLuint draw[4] = {4, 2, 0, 0};
	GLuint texels, plain;

	target();
	quad();
	link_program(program(vs, fs));
	glBindBufferBase(GL_UNIFORM_BUFFER, 1, buffer(GL_UNIFORM_BUFFER, 128, NULL));
	texels = buffer(GL_TEXTURE_BUFFER, 256, NULL);
	glGenTextures(1, &plain);
	glBindTexture(GL_TEXTURE_BUFFER, plain);
	glTexBuffer(GL_TEXTURE_BUFFER, GL_RGBA8, texels);
	buffer(GL_DRAW_INDIRECT_BUFFER, sizeof(draw), draw);
	glDrawArraysIndirect(GL_TRIANGLE_STRIP, NULL);
	glBindBuffer(GL_COPY_READ_BUFFER, texels);
	buffer(GL_COPY_WRITE_BUFFER, 256, NULL);
	glCopyBufferSubData(GL_COPY_READ_BUFFER, GL_COPY_WRITE_BUFFER, 0, 64, 128);
	float *at = glMapBufferRange(GL_COPY_WRITE_BUFFER, 0, 64, GL_MAP_WRITE_BIT);
	if (at) {
		at[3] = 1.0f;
	}
	glUnmapBuffer(GL_COPY_WRITE_BUFFER);
}

static const struct {
	const char *name;
	void (*draw)(void);
} scenes[] = {
		{"state", scene_state},
		{"textures", scene_textures},
		{"blit", scene_blit},
		{"compute", scene_compute},
		{"stages", scene_stages},
		{"feedback", scene_feedback},
		{"buffers", scene_buffers},
};

static void open_gl(void)
{
	const EGLint attributes[] = {
			EGL_CONTEXT_MAJOR_VERSION, 4, EGL_CONTEXT_MINOR_VERSION, 3, EGL_NONE};
	EGLDisplay display = eglGetPlatformDisplayEXT(
			EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
	GLuint arrays;

	eglInitialize(display, NULL, NULL);
	eglBindAPI(EGL_OPENGL_API);
	EGLContext context = eglCreateContext(
			display, EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, attributes);
	if (!eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context)) {
		fprintf(stderr, "no OpenGL 4.3\n");
		exit(EXIT_FAILURE);
	}
	fprintf(stderr, "%s\n", (const char *)glGetString(GL_RENDERER));
	glGenVertexArrays(1, &arrays);
	glBindVertexArray(arrays);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		if (argc < 2) {
			printf("%s\n", scenes[i].name);
		} else if (strcmp(argv[1], scenes[i].name) == 0) {
			open_gl();
			for (int frame = 0; frame < FRAMES; frame++) {
				scenes[i].draw();
				glFinish();
			}
			return glGetError() == GL_NO_ERROR ? EXIT_SUCCESS : EXIT_FAILURE;
		}
	}
	return argc < 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
